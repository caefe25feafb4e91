package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWatch(t *testing.T) {
	epoch := time.Unix(1_000_000, 0)
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	type step struct {
		at   int // seconds
		do   string
		want Presence
	}
	for _, tt := range []struct {
		name     string
		last     int // last sign before the fleet listened; 0: never
		steps    []step
		episodes []Episode
	}{
		{"never heard is not dark", 0, []step{{5, "judge", Never}, {100, "judge", Never}}, nil},
		{"silence becomes dark since the last sign", 0, []step{{20, "sign", Live}, {35, "judge", Live}, {36, "judge", Dark}, {50, "judge", Dark}}, []Episode{{Start: at(20)}}},
		{"a sign ends it", 0, []step{{20, "sign", Live}, {40, "judge", Dark}, {45, "sign", Live}, {50, "judge", Live}}, []Episode{{at(20), at(45)}}},
		{"a goodbye is no darkness", 0, []step{{20, "goodbye", Away}, {100, "judge", Away}, {101, "sign", Live}, {120, "judge", Dark}}, []Episode{{Start: at(101)}}},
		{"a goodbye ends darkness", 0, []step{{20, "sign", Live}, {40, "judge", Dark}, {50, "goodbye", Away}}, []Episode{{at(20), at(50)}}},
		{"the fleet suspects itself first", -60, []step{{1, "judge", Live}, {15, "judge", Live}, {16, "judge", Dark}}, []Episode{{Start: at(-60)}}},
		{"back before the fleet has listened long enough", -60, []step{{10, "judge", Live}, {14, "sign", Live}, {29, "judge", Live}}, nil},
		{"a clock that was set back", 0, []step{{100, "sign", Live}, {20, "sign", Live}, {36, "judge", Dark}}, []Episode{{Start: at(20)}}},
		{"regular signs", 0, []step{{1, "sign", Live}, {15, "sign", Live}, {30, "sign", Live}, {45, "judge", Live}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := watch{darkAfter: 15 * time.Second, listening: epoch}
			if tt.last != 0 {
				w.last = at(tt.last)
			}
			var episodes []Episode
			for _, s := range tt.steps {
				switch s.do {
				case "judge":
					if ep := w.judge(at(s.at)); ep != nil {
						episodes = append(episodes, *ep)
					}
				default:
					if ep := w.sign(at(s.at), s.do == "goodbye"); ep != nil {
						episodes[len(episodes)-1] = *ep
					}
				}
				if got := w.presence(); got != s.want {
					t.Errorf("after %s at %d s it is %s, want %s", s.do, s.at, got, s.want)
				}
			}
			if diff := cmp.Diff(tt.episodes, episodes); diff != "" {
				t.Errorf("episodes (-want +got):\n%s", diff)
			}
		})
	}
}
