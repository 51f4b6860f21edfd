// Loaded by itself, before the page: asks for what the first screen needs while the other modules still load. `ask` takes each answer once.
const path = import.meta.url, root = path.slice(0, path.lastIndexOf('/ui/static/') + 1), query = new URLSearchParams(location.search);
const asked = (globalThis.firstRequests = new Map());
const [, run] = location.pathname.match(/\/ui\/runs\/([a-z0-9]{12})$/) || [], one = `v1/workflows/batch/${run}`;
if (!location.hash.includes('code=')) {
  for (const what of ['session', ...(run ? [one, `${one}/graph?most=60`, ...(query.get('at') ? [] : [`${one}/operations`])] : [])]) {
    const answer = fetch(root + what, { headers: { Accept: 'application/json' }, cache: 'no-store' });
    answer.catch(() => {}); // whoever takes it is told
    asked.set(root + what, answer);
  }
}
