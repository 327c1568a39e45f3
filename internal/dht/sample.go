package dht

import (
	"context"
	"net/netip"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/dht/table"
	"shoal/internal/ident"
)

const (
	maxSampled  = 10000         // nodes whose intervals are remembered
	maxInterval = 6 * time.Hour // BEP 51
)

// sampleLog knows until when nodes are not to be asked for samples again (BEP 51). It is the loop's.
type sampleLog map[netip.AddrPort]time.Time

func (l sampleLog) waits(a netip.AddrPort, now time.Time) bool { return now.Before(l[a]) }

func (l sampleLog) note(a netip.AddrPort, now time.Time, interval time.Duration) {
	if len(l) >= maxSampled {
		for old, until := range l {
			if !now.Before(until) {
				delete(l, old)
			}
		}
	}
	if len(l) < maxSampled {
		l[a] = now.Add(min(max(interval, 0), maxInterval))
	}
}

// Sample is what a node says about what it keeps.
type Sample struct {
	From   netip.AddrPort
	Hashes []ident.V1
	Total  int // infohashes that it keeps
}

// Sample walks towards target and asks each node on the way for some of the infohashes that it keeps (BEP 51); a random target for each
// call leads through the whole network in time. A node that was asked is not asked again before the time that it named. found is called from
// the caller's goroutine while the walk goes on. The error is as that of Peers.
func (n *Node) Sample(ctx context.Context, target ident.V1, found func(Sample)) error {
	s := n.newSearch()
	s.add(func(*table.Core) *table.Lookup {
		return &table.Lookup{
			Target: krpc.ID(target), Ask: krpc.Message{Method: krpc.SampleInfohashes},
			Adjust: func(m *krpc.Message, to netip.AddrPort) {
				if n.samples.waits(to, time.Now()) {
					m.Method = krpc.FindNode
				}
			},
			Answer: func(m *krpc.Message, from netip.AddrPort) {
				if !m.HasSamples {
					return
				}
				seconds := min(max(m.Interval, 0), int64(maxInterval/time.Second))
				n.samples.note(from, time.Now(), time.Duration(seconds)*time.Second)
				sample := Sample{From: from, Total: int(min(max(m.Num, 0), 1<<31-1))}
				for b := m.Samples; len(b) >= 20; b = b[20:] {
					sample.Hashes = append(sample.Hashes, ident.V1(b))
				}
				s.later(func() { found(sample) })
			},
		}
	})
	results, err := s.run(ctx, nil)
	if nodes, _ := answered(results); err == nil && nodes == 0 {
		err = ErrNoNodes
	}
	return err
}
