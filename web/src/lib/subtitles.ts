import type { TorrentFile } from './types';

/** Files of subtitles that belong to a video, each with what its name adds: those named like it, or all if it is the only video. */
export function subtitles(files: readonly TorrentFile[], video: TorrentFile): { file: TorrentFile; label: string }[] {
  const stem = (p: string) => p.slice(p.lastIndexOf('/') + 1).replace(/\.[^.]+$/, '');
  const name = stem(video.path), alone = files.filter((f) => f.media === 'video').length === 1;
  return files
    .filter((f) => f.media === 'subtitle' && /\.(srt|vtt)$/i.test(f.path) && (alone || stem(f.path).startsWith(name)))
    .map((f) => {
      const s = stem(f.path);
      return { file: f, label: (s.startsWith(name) ? s.slice(name.length) : s).replace(/^[._ -]+/, '') };
    });
}
