package torrent

import (
	"time"

	"shoal/internal/bt/peer"
	"shoal/internal/bt/swarm"
	"shoal/internal/ident"
)

type webSeed struct{}

func (*webSeed) effect(swarm.Effect)            {}
func (*webSeed) Flush()                         {}
func (*webSeed) Close(error)                    {}
func (t *Torrent) openWebSeeds(time.Duration)   {}
func (t *Torrent) tickWeb(now time.Duration)    {}
func (t *Torrent) tickLayers(now time.Duration) {}
func (t *Torrent) startLayers()                 {}

type layerFetch struct{}

func (*layerFetch) joined(ident.Peer) {}
func (*layerFetch) gone(ident.Peer)   {}

func (t *Torrent) hashMessage(now time.Duration, id ident.Peer, m *peer.Message) {}
