package join

type dueItem struct {
	due int64
	p   *pending
}

// dueHeap is ordered by (due, id), so that the order of examples does not depend on that of the events.
type dueHeap []dueItem

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(a, b int) bool {
	if h[a].due != h[b].due {
		return h[a].due < h[b].due
	}
	return h[a].p.id < h[b].p.id
}
func (h dueHeap) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(dueItem)) }
func (h *dueHeap) Pop() any     { return popLast(h) }

type lifeItem struct {
	life int64
	p    *pending
}

type lifeHeap []lifeItem

func (h lifeHeap) Len() int           { return len(h) }
func (h lifeHeap) Less(a, b int) bool { return h[a].life < h[b].life }
func (h lifeHeap) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *lifeHeap) Push(x any)        { *h = append(*h, x.(lifeItem)) }
func (h *lifeHeap) Pop() any          { return popLast(h) }

func popLast[H ~[]T, T any](h *H) T {
	old := *h
	last := old[len(old)-1]
	var zero T
	old[len(old)-1] = zero
	*h = old[:len(old)-1]
	return last
}
