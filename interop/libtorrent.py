"""A libtorrent peer that is driven over standard input and output.

Arguments: IP:PORT and a JSON object of options: utp (uTP only, else TCP only), rc4 (MSE only, else none), dht (nodes to begin with, else none),
up (most bytes a second to send of a torrent).
Each line of input is a JSON object whose "do" names one of the functions below and whose other members are its
arguments; each is answered by one line with its result, or {"error": "..."}.
"""
import json
import os
import sys
import time

import libtorrent as lt


class Peer:
    def __init__(self, listen, options):
        utp, rc4 = options.get("utp", False), options.get("rc4", False)
        self.dht = options.get("dht") or []
        self.up = options.get("up", 0)
        policy = 0 if rc4 else 2  # forced, disabled
        self.session = lt.session({
            "listen_interfaces": listen, "outgoing_interfaces": listen.rsplit(":", 1)[0],
            "enable_dht": bool(self.dht), "dht_bootstrap_nodes": "", "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False, "dht_block_ratelimit": 1000, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
            "enable_incoming_utp": utp, "enable_outgoing_utp": utp, "enable_incoming_tcp": not utp, "enable_outgoing_tcp": not utp,
            "in_enc_policy": policy, "out_enc_policy": policy, "allowed_enc_level": 2 if rc4 else 3,
            "allow_multiple_connections_per_ip": True, "min_reconnect_time": 1, "ssrf_mitigation": False,
            "mmap_file_size_cutoff": 1000000, "close_file_interval": 1, "alert_mask": (lt.alert.category_t.dht_notification if self.dht else 0) | lt.alert.category_t.error_notification | lt.alert.category_t.storage_notification,
        })
        self.flushed = False
        for node in self.dht:
            ip, port = node.rsplit(":", 1)
            self.session.add_dht_node((ip, int(port)))

    def create(self, path, out, version, piece, trackers, webseeds):
        files = lt.file_storage()
        lt.add_files(files, path)
        flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
        torrent = lt.create_torrent(files, piece_size=piece, flags=flags)
        for tier, url in enumerate(trackers):
            torrent.add_tracker(url, tier)
        for url in webseeds:
            torrent.add_url_seed(url)
        lt.set_piece_hashes(torrent, os.path.dirname(path))
        with open(out, "wb") as f:
            f.write(lt.bencode(torrent.generate()))
        return self.info(out)

    def info(self, path):
        info = lt.torrent_info(path)
        hashes = info.info_hashes()
        return {"v1": str(hashes.v1) if hashes.has_v1() else "", "v2": str(hashes.v2) if hashes.has_v2() else "",
                "magnet": lt.make_magnet_uri(info)}

    def add(self, link, dir):
        if link.startswith("magnet:"):
            params = lt.parse_magnet_uri(link)
        else:
            params = lt.add_torrent_params()
            params.ti = lt.torrent_info(link)
        params.save_path = dir
        if self.up:
            params.upload_limit = self.up
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        params.flags |= lt.torrent_flags.disable_lsd | lt.torrent_flags.disable_pex
        if not self.dht:
            params.flags |= lt.torrent_flags.disable_dht
        self.handle = self.session.add_torrent(params)
        return {}

    def peer(self, addr):
        ip, port = addr.rsplit(":", 1)
        self.handle.connect_peer((ip, int(port)))
        return {}

    def flush(self):
        """Waits for the files: that it is seeding says that pieces are hashed, not that they are written."""
        deadline = time.monotonic() + 10
        if not self.flushed:
            self.handle.flush_cache()
        while not self.flushed and time.monotonic() < deadline:
            self.session.wait_for_alert(500)
            self.flushed = any(isinstance(a, lt.cache_flushed_alert) for a in self.session.pop_alerts())
        return self.flushed

    def put(self, value):
        return {"target": str(self.session.dht_put_immutable_item(value))}

    def put_mutable(self, private, public, value, salt):
        self.session.dht_put_mutable_item(bytes.fromhex(private), bytes.fromhex(public), value, salt)
        return {}

    def get(self, target):
        self.session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(target)))
        return self.item(lt.dht_immutable_item_alert)

    def get_mutable(self, public, salt):
        self.session.dht_get_mutable_item(bytes.fromhex(public), salt)
        return self.item(lt.dht_mutable_item_alert)

    def item(self, kind):
        """Waits for an item that was asked for."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.session.wait_for_alert(500)
            for a in self.session.pop_alerts():
                if isinstance(a, kind):
                    try:
                        return {"value": a.item["value"].decode()}
                    except RuntimeError:  # nobody has it
                        return {}
        return {}

    def state(self):
        s = self.handle.status()
        complete = bool(s.is_seeding) and self.flush()
        alerts = [a.message() for a in self.session.pop_alerts()]
        return {"complete": complete, "state": str(s.state), "progress": s.progress, "peers": s.num_peers,
                "problem": s.errc.message() if s.errc.value() else "", "alerts": alerts[-3:]}


peer = Peer(sys.argv[1], json.loads(sys.argv[2]))
for line in sys.stdin:
    arguments = json.loads(line)
    try:
        answer = getattr(peer, arguments.pop("do"))(**arguments)
    except Exception as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(answer), flush=True)
os._exit(0)
