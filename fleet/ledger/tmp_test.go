package ledger_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

func BenchmarkTmp(b *testing.B) {
	oneCore(b)
	t0 := time.Now()
	f := newFleet(b, 10000)
	f.promise(4)
	fmt.Println("promise", time.Since(t0))
	f.fill(4)
	fmt.Println("fill", time.Since(t0))
	fmt.Println("load cpu", f.cpu(f.watch))
	for range 6 {
		fmt.Println("live cpu", f.live())
	}
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	fmt.Println("heap", ms.HeapAlloc>>20, "objects", ms.HeapObjects, "gcs", ms.NumGC, resident(b))
	runtime.KeepAlive(f)
}
