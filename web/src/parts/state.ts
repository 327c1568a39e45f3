import type { IconName } from '../lib/icons';
import type { Media, State } from '../lib/types';

export const stateIcon: Record<State, IconName> = {
  downloading: 'download', seeding: 'seed', metadata: 'magnet', checking: 'checking', moving: 'move', queued: 'clock', paused: 'pause', failed: 'warn',
};
export const mediaIcon: Record<Media, IconName> = { video: 'video', audio: 'audio', subtitle: 'subtitle', image: 'image', '': 'file' };
