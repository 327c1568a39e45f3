import { ask, post, whenLoggedOut } from './api';
import type { Me } from './types';

class Session {
  me = $state.raw<Me | null>(null);
  known = $state(false); // asked the node
  offline = $state(false); // the node did not answer
  get canAct(): boolean {
    return this.me !== null && this.me.role !== 'viewer';
  }
  get admin(): boolean {
    return this.me?.role === 'admin';
  }
  async refresh(): Promise<void> {
    try {
      this.me = await ask<Me>('me');
      this.offline = false;
    } catch (e) {
      this.me = null;
      this.offline = (e as { status?: number }).status !== 401;
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
