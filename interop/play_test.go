//go:build linux

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// films are made by ffmpeg: a container with its index at the end, which players want first, and one that can be read in one go.
var films = map[string][]string{
	"moov-last.mp4": {"-c:v", "mpeg4", "-b:v", "2M", "-c:a", "aac"},
	"film.webm":     {"-c:v", "libvpx", "-deadline", "realtime", "-b:v", "2M", "-c:a", "libopus"},
}

const filmSeconds = 10

// uplink is what the one seed sends, in bytes/s: slow enough that a film is not there before players have opened it.
const uplink = 600_000

// makeFilm makes a film and has libtorrent seed it over a slow line.
func makeFilm(t *testing.T, name string) (path string, made torrent, peer string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=25:duration=%d", filmSeconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:duration=%d", filmSeconds)}
	if out, err := exec.Command(needProgram(t, "ffmpeg", "ffmpeg"), append(append(args, films[name]...), path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	seeder := newLibtorrent(t, options{Up: uplink})
	made = seeder.create(t, path, "v1", nil, nil)
	must(t, seeder.add(made.file, filepath.Dir(path)))
	waitComplete(t, "the seeder has checked its data", seeder, seeder.process)
	return path, made, seeder.addr()
}

// lastEvent returns the last event of a kind that a shoal has told of.
func lastEvent(t *testing.T, p *process, kind string) (map[string]any, bool) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.home, p.name+".log"))
	must(t, err)
	lines := bytes.Split(b, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		var e map[string]any
		if json.Unmarshal(lines[i], &e) == nil && e["event"] == kind {
			return e, true
		}
	}
	return nil, false
}

// ffprobe opens a film while most of it is missing, and what is then read is the film.
func TestProbeWhileDownloading(t *testing.T) {
	t.Parallel()
	ffprobe := needProgram(t, "ffprobe", "ffmpeg")
	for name := range films {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, made, peer := makeFilm(t, name)
			want, err := os.ReadFile(path)
			must(t, err)
			to := t.TempDir()
			shoal, _ := startShoal(t, "play", made.file, "-o", to, "--peer", peer, "--player", "none", "--json")
			var url string
			waitFor(t, "shoal serves", shoal, func() (bool, error) {
				e, ok := lastEvent(t, shoal, "playing")
				if ok {
					url = e["url"].(string)
				}
				return ok, nil
			})
			var out struct {
				Format  struct{ Duration string }
				Streams []struct {
					Type string `json:"codec_type"`
				}
			}
			text, err := exec.Command(ffprobe, "-v", "error", "-of", "json", "-show_format", "-show_streams", url).Output()
			if err != nil {
				t.Fatalf("ffprobe: %v", err)
			}
			must(t, json.Unmarshal(text, &out))
			var seconds float64
			fmt.Sscan(out.Format.Duration, &seconds)
			if seconds < filmSeconds-0.5 || seconds > filmSeconds+0.5 || len(out.Streams) != 2 {
				t.Errorf("ffprobe says %+v", out)
			}
			if e, ok := lastEvent(t, shoal, "progress"); ok && e["done"].(float64) >= e["total"].(float64) {
				t.Errorf("everything was there before the film was opened, %d bytes: the test proves nothing", len(want))
			}
			resp, err := http.Get(url)
			must(t, err)
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes were served that differ from the %d of the film", len(got), len(want))
			}
			if code := shoal.terminate(t); code != 0 {
				t.Errorf("shoal ended with code %d", code)
			}
			sameTree(t, path, filepath.Join(to, name))
		})
	}
}

// mpv plays a film to its end while it comes, kept or not.
func TestPlayWithMPV(t *testing.T) {
	t.Parallel()
	needProgram(t, "mpv", "mpv")
	for name := range films {
		for _, keep := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, kept: %v", name, keep), func(t *testing.T) {
				t.Parallel()
				path, made, peer := makeFilm(t, name)
				to, log := t.TempDir(), filepath.Join(t.TempDir(), "mpv.log")
				player := filepath.Join(t.TempDir(), "mpv")
				script := fmt.Sprintf("#!/bin/sh\nexec mpv --no-config --vo=null --ao=null --untimed --no-terminal --log-file=%s \"$@\"\n", log)
				must(t, os.WriteFile(player, []byte(script), 0o755))
				args := []string{made.file, "-o", to, "--peer", peer, "--player", player, "--json"}
				if !keep {
					args = append(args, "--no-keep")
				}
				shoal, _ := startShoal(t, "play", args...)
				if code := shoal.wait(t); code != 0 {
					t.Errorf("shoal ended with code %d", code)
				}
				b, err := os.ReadFile(log)
				must(t, err)
				for _, text := range []string{"Exiting... (End of file)", "Video", "Audio"} {
					if !bytes.Contains(b, []byte(text)) {
						t.Errorf("mpv's log lacks %q:\n%s", text, b[max(0, len(b)-3000):])
					}
				}
				if keep {
					sameTree(t, path, filepath.Join(to, name))
				} else if list, err := os.ReadDir(to); err != nil || len(list) > 0 {
					t.Errorf("%d files were kept, %v", len(list), err)
				}
			})
		}
	}
}
