import type { TorrentFile } from './types';

/** Where a player reads a file, complete or not. It needs no login. */
export const streamURL = (f: TorrentFile): string => new URL(f.stream_url ?? '', location.origin).href;

/** The list of all that can be played of its torrent, for players such as mpv and VLC. */
export const playlist = (f: TorrentFile): string => streamURL(f).replace(/\/\d+\/[^/]*$/, '/playlist.m3u');

/** Subtitles as WebVTT, which is what browsers read. */
export const trackURL = (f: TorrentFile): string => streamURL(f) + (/\.vtt$/i.test(f.path) ? '' : '.vtt');
