"""A libtorrent peer that seeds, or fetches what a player reads by set_piece_deadline.

Arguments: IP:PORT, the .torrent, the folder, and "seed", "stream" or "brisk", which is stream with
a shorter queue of requests than libtorrent's default of 3 s. Each line of input is an offset: what the player reads from now on.
It is answered by a line once the piece there is had.
"""
import os, select, sys
import libtorrent as lt

listen, torrent, folder, role = sys.argv[1:5]
AHEAD = 32  # pieces with deadlines: 10 s of the film
session = lt.session({
    "listen_interfaces": listen, "outgoing_interfaces": listen.rsplit(":", 1)[0],
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False, "in_enc_policy": 2, "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True, "alert_mask": lt.alert.category_t.piece_progress_notification,
    "mmap_file_size_cutoff": 1 << 30, "send_buffer_watermark": 128 << 10, "smooth_connects": False,
})
if role == "brisk":
    session.apply_settings({"request_queue_time": 1})
params = lt.add_torrent_params()
params.ti, params.save_path = lt.torrent_info(torrent), folder
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if role == "seed":
    params.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(params)
length, pieces = params.ti.piece_length(), params.ti.num_pieces()
r, w = os.pipe()
os.set_blocking(w, False)
session.set_alert_fd(w)
at, wanted, asked, pending = -1, -1, set(), b""
print("ready", flush=True)


def window(piece):
    """Gives the pieces from one on deadlines of 100 ms each, as players built on libtorrent do."""
    global asked
    if piece != at + 1 and piece != at:
        handle.clear_piece_deadlines()
        asked = set()
    for i in range(piece, min(piece + AHEAD, pieces)):
        if i not in asked:
            asked.add(i)
            handle.set_piece_deadline(i, (i - piece) * 100)


while True:
    ready, _, _ = select.select([0, r], [], [], 1)
    if r in ready:
        os.read(r, 4096)
        session.pop_alerts()
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            wanted = int(line) // length
            window(wanted)
            at = wanted
    if wanted >= 0 and handle.have_piece(wanted):
        print("have", flush=True)
        wanted = -1
