// Modules that are loaded when what they draw is first shown, and all of them when there is time.
import { html, useEffect } from '../vendor/htm-preact.js';
import { store, useStore } from './store.js';

const SCREENS = { home: () => import('./home.js'), run: () => import('./run.js'), step: () => import('./step.js'), rollback: () => import('./rollback.js'), plan: () => import('./plan.js'),
  approvals: () => import('./approvals.js'), servers: () => import('./servers.js'), service: () => import('./service.js'), taskservs: () => import('./taskservs.js'),
  destroy: () => import('./destroy.js'), drift: () => import('./drift.js'), checks: () => import('./checks.js'), rehearsal: () => import('./rehearsal.js') };
const PARTS = { sign_in: () => import('./sign_in.js'), help: () => import('./help.js'), operations: () => import('./operations.js'), question: () => import('./question.js'), log: () => import('./log.js'), waffle: () => import('./waffle.js'), action_dialogs: () => import('./action_dialogs.js') }; // few who open a run need them
const MODULES = { ...SCREENS, ...PARTS }, loaded = store({});

export async function load(name) {
  if (name in loaded.get()) return;
  try {
    const module = await MODULES[name]();
    loaded.set({ ...loaded.get(), [name]: module });
  } catch {
    setTimeout(load, 2000, name); // the service is away; the banner says so
  }
}
export const loadAll = () => Object.keys(MODULES).forEach(load);

/** What a module draws, as soon as it is there. */
export function Later({ module, name, props }) {
  const there = useStore(loaded)[module];
  useEffect(() => { load(module); }, [module]);
  return there ? html`<${there[name]} ...${props} />` : null;
}
