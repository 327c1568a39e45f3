import { ask, post, whenLoggedOut } from './api';
import type { Me } from './types';

class Session {
  me = $state.raw<Me | null>(null);
  known = $state(false); // asked the node
  offline = $state(false); // the node did not answer
  setupNeeded = $state(false);
  get canAct(): boolean {
    return this.me?.scopes.includes('control') ?? false;
  }
  get admin(): boolean {
    return this.me?.scopes.includes('admin') ?? false;
  }
  async refresh(): Promise<void> {
    try {
      const me = await ask('me');
      this.me = me.scopes.length ? me : null;
      this.setupNeeded = me.setup_needed;
      this.offline = false;
    } catch (e) {
      // A node that does not answer has not ended the session.
      this.offline = (e as { status?: number }).status !== 401;
      if (!this.offline || !this.known) this.me = null;
    }
    this.known = true;
  }
  async login(name: string, password: string): Promise<void> {
    await post('login', { name, password }, true);
    await this.refresh();
  }
  async logout(): Promise<void> {
    await post('logout');
    this.me = null;
  }
}
export const session = new Session();
whenLoggedOut(() => (session.me = null));
