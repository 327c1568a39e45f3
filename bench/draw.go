//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the drawing, in pixels.
const (
	drawWidth  = 940
	drawLeft   = 420 // where bars begin
	drawRight  = 20
	drawHead   = 76
	drawLine   = 26
	drawMost   = 3.0 // times as good as it must be: longer bars are cut
	drawBarTop = 6
	drawBar    = 14
)

// drawStyle makes the drawing readable on light and on dark ground.
const drawStyle = `<style>
text{font:13px system-ui,sans-serif;fill:#1f2328}.ground{fill:#fff}
.title{font-weight:600;font-size:15px}.dim{fill:#636c76}.end{text-anchor:end}.mid{text-anchor:middle}
.aim{fill:#2f7d4f}.must{fill:#3b76c4}.no{fill:#c2493d}
.rule{stroke:#1f2328;stroke-width:1}.goal{stroke:#1f2328;stroke-width:2}.odd{fill:#808080;fill-opacity:.08}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.dim{fill:#9198a1}.aim{fill:#56b37c}.must{fill:#6ea3e8}.no{fill:#ea7a6e}.rule,.goal{stroke:#e6edf3}}
</style>
`

// draw is the table as an SVG: for each figure a bar that tells how many times as good as it must be it is, with a mark at the
// aim. Where less is better, twice as good is half as much.
func (r *report) draw() string {
	var b strings.Builder
	y := drawHead
	for i := range r.Table {
		x := &r.Table[i]
		n := max(len(x.Figures), 1)
		if i%2 == 1 {
			fmt.Fprintf(&b, "<rect class=\"odd\" x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", y, drawWidth, n*drawLine)
		}
		fmt.Fprintf(&b, "<text class=\"dim end\" x=\"28\" y=\"%d\">%d</text>\n", y+drawBarTop+drawBar-2, x.Number)
		if len(x.Figures) == 0 {
			label(&b, y, shortWork[x.Number-1])
			fmt.Fprintf(&b, "<text class=\"dim\" x=\"%d\" y=\"%d\">not measured</text>\n", drawLeft, y+drawBarTop+drawBar-2)
		}
		for j := range x.Figures {
			label(&b, y+j*drawLine, strings.TrimSuffix(shortWork[x.Number-1]+": "+x.Figures[j].Name, ": "))
			x.Figures[j].bar(&b, y+j*drawLine)
		}
		y += n * drawLine
	}
	must := drawLeft + int(drawScale(1))
	var head strings.Builder
	fmt.Fprintf(&head, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%[1]d\" height=\"%[2]d\" role=\"img\" aria-label=\"How many times as good as it must be shoal is, in each row of the table\">\n",
		drawWidth, y+12)
	fmt.Fprintf(&head, "%s<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", drawStyle, drawWidth, y+12)
	fmt.Fprintf(&head, "<text class=\"title\" x=\"12\" y=\"24\">shoal: how many times as good as it must be</text>\n<text class=\"dim\" x=\"12\" y=\"44\">%s</text>\n", html.EscapeString(r.Machine.String()))
	for i, l := range [][2]string{{"aim", "reaches the aim (mark)"}, {"must", "as it must be"}, {"no", "not yet"}} {
		x := []int{560, 740, 870}[i]
		fmt.Fprintf(&head, "<rect class=\"%s\" x=\"%d\" y=\"13\" width=\"12\" height=\"12\" rx=\"2\"/><text class=\"dim\" x=\"%d\" y=\"24\">%s</text>\n", l[0], x-drawRight, x-drawRight+18, l[1])
	}
	for _, s := range []float64{1, 2, 3} {
		fmt.Fprintf(&b, "<text class=\"dim mid\" x=\"%.0f\" y=\"%d\">%s</text>\n", drawLeft+drawScale(s), drawHead-6, map[float64]string{1: "must", 2: "2 ×", 3: "3 ×"}[s])
	}
	fmt.Fprintf(&b, "<line class=\"rule\" x1=\"%d\" y1=\"%d\" x2=\"%[1]d\" y2=\"%[3]d\"/>\n</svg>\n", must, drawHead, y)
	return head.String() + b.String()
}

// drawScale returns the length of a bar.
func drawScale(score float64) float64 {
	return min(max(score, 0), drawMost) / drawMost * (drawWidth - drawLeft - drawRight)
}

func label(b *strings.Builder, y int, text string) {
	fmt.Fprintf(b, "<text x=\"38\" y=\"%d\">%s</text>\n", y+drawBarTop+drawBar-2, html.EscapeString(text))
}

// bar draws one figure at y.
func (f *figure) bar(b *strings.Builder, y int) {
	score := f.score(f.Value)
	if math.IsInf(score, 0) || math.IsNaN(score) {
		score = drawMost
	}
	fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", f.met(), drawLeft, y+drawBarTop,
		max(drawScale(score), 1), drawBar)
	if f.Aim != 0 {
		x := drawLeft + drawScale(f.score(f.Aim))
		fmt.Fprintf(b, "<line class=\"goal\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1[1]f\" y2=\"%[3]d\"/>\n", x, y+drawBarTop-3, y+drawBarTop+drawBar+3)
	}
	fmt.Fprintf(b, "<text class=\"end\" x=\"%d\" y=\"%d\">%s</text>\n", drawLeft-12, y+drawBarTop+drawBar-2, html.EscapeString(number(f.Value, f.Unit)))
}

// shortWork names the rows in the drawing.
var shortWork = [...]string{
	"pair, 2 GiB, wall time", "processor time of the seed", "processor time of the leecher", "pair, 2,000 files, wall time", "pair, v2, wall time",
	"beside other clients, wall time", "one seed, 8 leechers", "flash crowd in simulation", "hashing", "long fast line", "memory of the leecher",
	"10,000 idle peers", "20,000 idle torrents", "a block in the swarm", "500 slow leechers", "start of shoal get", "pair, RC4", "pair, uTP",
}
