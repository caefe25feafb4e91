package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A generated node is the same for the same seed, another for another, and
// catching up is no dearer than the stream.
func TestGeneratedSetsReplay(t *testing.T) {
	first, err := inventNode(3, 5*time.Minute, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	again, err := inventNode(3, 5*time.Minute, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	other, err := inventNode(4, 5*time.Minute, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	all := time.Hour
	if !sameBatches(first.Blocks(all), again.Blocks(all)) || sameBatches(first.Blocks(all), other.Blocks(all)) {
		t.Error("a seed does not tell the node")
	}
	m, decoded, err := measure(first, 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Lossless || !sameBatches(first.Blocks(15*time.Second), decoded) {
		t.Error("the replay lost something")
	}
	if m.PerSampleOnline > 0.75 || m.PerSampleCatchUp > 0.75 || m.PerSampleAtRest > 3 {
		t.Errorf("%.3f bytes a sample online, %.3f catching up, %.3f at rest", m.PerSampleOnline, m.PerSampleCatchUp, m.PerSampleAtRest)
	}
	got := []int{m.Samples, m.Blocks, m.Series}
	if d := cmp.Diff([]int{first.Samples, 20, len(first.Series)}, got); d != "" {
		t.Errorf("samples, blocks and series (-want +got):\n%s", d)
	}
}
