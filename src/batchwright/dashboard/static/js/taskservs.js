// The catalogue of task services: what each is, its fields, and which environments use it.
import { html } from '../vendor/htm-preact.js';
import { useGet } from './net.js';
import { Copy, Facts, Loading, Mark, Section, Table } from './parts.js';
import { environmentPath, href, put, useQuery } from './store.js';
import { useTitle } from './title.js';
import { dur, many, num } from './words.js';

export function Taskservs() {
  const got = useGet('v1/taskservs'), uses = useGet('v1/taskservs/environments', { every: 30 }), find = useQuery('find').toLowerCase(), name = useQuery('name');
  const all = got.data?.taskservs || [], used = uses.data?.taskservs || {}, one = all.find((each) => each.name === name);
  useTitle(one ? one.name : 'Task services', null);
  if (name && got.data) return one ? html`<${Entry} one=${one} all=${all} uses=${used[one.name] || []} known=${!!uses.data} />` : html`<main class="page" id="main"><h1>There is no task service ${name}</h1><p><a href=${href('ui/taskservs')}>All that are known</a></p></main>`;
  const shown = all.filter((each) => [each.name, each.summary, ...each.provides].some((word) => word.toLowerCase().includes(find)));
  return html`<main class="page fades" id="main"><header class="row wrap"><h1>Task services</h1><span class="q grow">that workflows can install on servers</span>
      <input class="in" type="search" data-find placeholder="Find a task service" aria-label="Find a task service" value=${find} onInput=${(e) => put({ find: e.target.value })} /></header>
    <${Loading} got=${got}><${Table} label="Task services" heads=${[['Name', 'nw'], ['Version', 'nw'], ['What it is', ''], ['Needs', 'nw hide-s'], ['Fields', 'n hide-s'], ['Tested', 'nw hide-s'], ['Used by', '']]} empty=${html`<p class="q">No task service is like that.</p>`}
      rows=${shown.map((each) => [html`<a class="b" href=${href('ui/taskservs', { name: each.name })}>${each.name}</a>`, each.version, each.summary, each.requires.join(', '), num(Object.keys(each.variables).length), each.tested, users(used[each.name] || [])])} /><//>
    <${Section} title="On the shell"><${Copy} text="batchwright taskservs list" /><//></main>`;
}
const users = (list) => list.length ? html`<span>${list.slice(0, 3).map((one, i) => html`${i ? ', ' : ''}<a href=${environmentPath((one.simulated ? 'simulated:' : '') + one.name)}>${one.name}</a>`)}${list.length > 3 ? ` and ${num(list.length - 3)} more` : ''}</span>` : '';

function Entry({ one, all, uses, known }) {
  const servers = uses.reduce((n, each) => n + each.servers.length + each.servers_more, 0), link = (name) => all.some((each) => each.name === name) ? html`<a href=${href('ui/taskservs', { name })}>${name}</a>` : html`<a href=${href('ui/taskservs', { find: name })}>${name}</a>`;
  const links = (names) => names.length ? names.map((name, i) => html`${i ? ', ' : ''}${link(name)}`) : '';
  const needs = [one.needs.init && 'a service manager', one.needs.privileged && 'containers', one.needs.own_network && 'a network of its own', one.needs.memory_mb && `${num(one.needs.memory_mb)} MB of memory`, one.needs.cpus && many(one.needs.cpus, 'processor')].filter(Boolean).join(', ');
  const platforms = one.platforms.map((each) => `${[each.os, each.release.join(' or ')].filter(Boolean).join(' ')}${each.version ? `: version ${each.version}` : ''}`).join('; ');
  return html`<main class="page fades" id="main"><header><p class="q"><a href=${href('ui/taskservs')}>Task services</a> / ${one.name}</p><div class="row wrap"><h1>${one.name} ${one.version}</h1><span class="q">${one.summary}</span></div></header>
    <div class="two"><div class="sec big-gap"><${Section} title="Fields" about="that a workflow may set, under variables"><${Fields} of=${one.variables} /><//>
      <${Section} title="Used by" about=${known ? uses.length ? `${many(uses.length, 'environment')}, ${many(servers, 'server')}` : '' : 'asking…'}><${Table} label="Used by" heads=${[['Environment', 'nw'], ['Version', 'nw'], ['On', '']]} empty=${html`<p class="q">No environment has it, as of the newest run of each that has ended.</p>`}
        rows=${uses.map((each) => [html`<a class="b" href=${environmentPath((each.simulated ? 'simulated:' : '') + each.name)}>${each.name}</a>${each.simulated ? html` <span class="tag">simulated</span>` : ''}`, each.versions.map((version, i) => html`${i ? ', ' : ''}${version}${version && version !== one.version ? html` <${Mark} shape="warn" colour="retry">not ${one.version}<//>` : ''}`), html`${each.servers.join(', ')}${each.servers_more ? ` and ${num(each.servers_more)} more` : ''}`])} /><//></div>
    <div class="sec"><div class="box"><h2>What it needs</h2><${Facts} items=${[['requires', links(one.requires)], ['comes after', links(one.after)], ['conflicts with', links(one.conflicts)], ['provides', one.provides.join(', ')], ['a server with', needs], ['systems', platforms || 'any'], ['usually takes', dur(one.seconds)], ['several on a server', one.multiple ? 'yes, each with a name' : 'no'], ['joins servers', one.scope === 'cluster' ? 'yes: the first leads' : ''], ['gives', Object.keys(one.outputs).join(', ')], ['checks', one.check.map((each) => each.name).join(', ')], ['tested', one.tested]]} /></div>
      <div class="box"><h2>On the shell</h2><${Copy} text=${`batchwright taskservs show ${one.name}`} /></div></div></div></main>`;
}

function Fields({ of }) {
  const rows = Object.entries(of).flatMap(([name, field]) => [row(name, field), ...Object.entries(field.fields || {}).map(([inner, each]) => row(`${name}.KEY.${inner}`, each))]);
  return html`<${Table} label="Fields" heads=${[['Field', 'nw mono'], ['Takes', 'nw'], ['Default', ''], ['What it is', '']]} rows=${rows} empty=${html`<p class="q">It has none.</p>`} />`;
}
/** Words between backticks are code. */
const coded = (text) => text.split('`').map((part, i) => i % 2 ? html`<code>${part}</code>` : part);
function row(name, field) {
  const kind = field.type === 'list' || field.type === 'map' ? `${field.type} of ${Object.keys(field.fields || {}).length ? 'records' : field.of}` : field.type;
  const bounds = field.values.length ? field.values.join(', ') : field.least != null || field.most != null ? `${field.least ?? ''} to ${field.most ?? ''}` : '';
  const value = field.default === null ? (field.optional ? html`<span class="f">none</span>` : html`<b>required</b>`) : html`<code>${typeof field.default === 'string' ? field.default || '""' : JSON.stringify(field.default)}</code>`;
  return [name, html`${kind}${field.secret ? ' or a secret' : ''}`, value, html`<span>${coded(field.summary)}${bounds ? html` <span class="q">(${bounds})</span>` : ''}${field.means ? html`<span class="q"> · ${coded(field.means)}</span>` : ''}</span>`];
}
