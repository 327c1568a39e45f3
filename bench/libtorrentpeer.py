"""A peer on libtorrent's Python binding that speaks the benchmark's line protocol, with settings for speed."""
import os, select, sys
import libtorrent as lt

utp, mse = "--utp" in sys.argv, "--mse" in sys.argv
argv = [a for a in sys.argv[1:] if a not in ("--utp", "--mse")]
args = dict(zip(argv[::2], argv[1::2]))
settings = lt.high_performance_seed()
settings.update({
    "listen_interfaces": args["--listen"], "outgoing_interfaces": args["--listen"].rsplit(":", 1)[0],
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": utp, "enable_outgoing_utp": utp, "enable_incoming_tcp": not utp, "enable_outgoing_tcp": not utp,
    "send_socket_buffer_size": (4 << 20) if utp else 0, "recv_socket_buffer_size": (4 << 20) if utp else 0,
    "in_enc_policy": 0 if mse else 2, "out_enc_policy": 0 if mse else 2, "allowed_enc_level": 2 if mse else 3, "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
    "aio_threads": 4, "hashing_threads": 2, "max_queued_disk_bytes": 64 << 20, "max_allowed_in_request_queue": 10000,
    "max_out_request_queue": 1500, "suggest_mode": 0, "mmap_file_size_cutoff": 1 << 30, "smooth_connects": False,
})
session = lt.session(settings)
r, w = os.pipe()
os.set_blocking(w, False)
session.set_alert_fd(w)
handles, names, told = {}, {}, set()
print("ready", flush=True)
pending = b""
while True:
    ready, _, _ = select.select([0, r], [], [], 1)
    if r in ready:
        os.read(r, 4096)
    for a in session.pop_alerts():
        if isinstance(a, lt.torrent_finished_alert):
            name = names.get(a.handle)
            if name and name not in told:
                told.add(name)
                print("done", name, flush=True)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        *lines, pending = (pending + data).split(b"\n")
        for words in (line.decode().split() for line in lines):
            if words[0] == "add":
                p = lt.add_torrent_params()
                p.ti, p.save_path = lt.torrent_info(words[1]), args["--data"]
                p.flags = lt.torrent_flags.update_subscribe | lt.torrent_flags.disable_dht | lt.torrent_flags.disable_lsd | lt.torrent_flags.disable_pex
                handles[words[2]] = session.add_torrent(p)
                names[handles[words[2]]] = words[2]
            elif words[0] == "uploaded":
                print("uploaded", handles[words[1]].status().total_payload_upload, flush=True)
