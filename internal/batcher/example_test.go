package batcher_test

import (
	"fmt"
	"time"

	"gavel/internal/batcher"
)

// Claims of one row come 3,000 a second. The first opens the batch at 0, and the seventh joins it at 2 ms. The process uses
// 42 % of its processors, so the batch is held for 6 ms · (0.42 / 0.6)³. The eighth claim, at 2.333 ms, opens another batch.
func ExampleLeave() {
	const gap = time.Second / 3000
	fmt.Println("a batch of 7 rows leaves", batcher.Leave(6*time.Millisecond, gap, 0.42, 6*gap), "after its opening")
	// Output: a batch of 7 rows leaves 2.058ms after its opening
}
