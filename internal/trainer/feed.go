package trainer

import (
	"context"
	"time"

	"gavel/internal/events"
	"gavel/internal/events/join"
	"gavel/internal/features"
	"gavel/internal/models"
	"gavel/internal/recipe"
	"gavel/internal/stream"
)

// feed turns messages into frames. Only feedLoop uses its fields.
type feed struct {
	in       *incarnation
	o        *Options
	joiner   *join.Joiner
	archive  *archive // nil: none
	encoder  *features.Encoder
	examples []join.Example
	row      []int32
	rows     Rows
	rowsPos  join.Position // after the last of rows
	firstAt  time.Time     // when the first of rows was added
	sentPos  join.Position // the last frame's
	savedPos join.Position // when a checkpoint was asked for last
	joined   join.Stats
	end      stream.Cursor // the stream's last message when lag last asked
	endAt    time.Time     // when lag last asked
	at       stream.Cursor // the last message joined

	newRows      int64 // since the last export
	exportedAt   time.Time
	checkpointAt time.Time
}

func newFeed(in *incarnation, joiner *join.Joiner, pos join.Position) *feed {
	encoder := in.p.o.Recipe.Encoder()
	now := time.Now()
	return &feed{
		in: in, o: &in.p.o, joiner: joiner, encoder: encoder, row: make([]int32, encoder.RowLen()), rows: Rows{F: encoder.RowLen()},
		sentPos: pos, savedPos: pos, at: pos.High, exportedAt: now, checkpointAt: now,
	}
}

// feedLoop joins, encodes and sends. If ctx ends, feedLoop sends the stop frame and returns. If inner ends, it returns at once.
func (f *feed) feedLoop(ctx, inner context.Context) {
	defer close(f.in.frames)
	tick := time.NewTicker(min(f.o.FlushEvery, time.Second) / 2)
	defer tick.Stop()
	for {
		select {
		case m := <-f.in.messages:
			if !f.take(inner, &m) {
				return
			}
		case <-tick.C:
			if !f.due(inner) {
				return
			}
		case <-ctx.Done():
			f.in.stopping.Store(true)
			if f.sendRows(inner) {
				f.flushArchive()
				f.sendControl(inner, StopFrame, 0)
			}
			return
		case <-inner.Done():
			return
		}
	}
}

// take joins one message and sends the frames that it fills. Like the functions it calls, it returns false if ctx has ended.
func (f *feed) take(ctx context.Context, m *events.Message) bool {
	model := f.in.p.model
	if m.Lost > 0 {
		f.o.Metrics.lost.WithLabelValues(model).Add(float64(m.Lost))
		f.in.log.Error("messages left the stream before they were learnt from (raise the stream's max_bytes or max_age)", "lost", m.Lost, "sequence", m.At.Seq())
	}
	if m.Damaged != nil {
		f.in.log.Error("part of a message cannot be read and is skipped", "sequence", m.At.Seq(), "source", m.Source, "error", m.Damaged)
	}
	var err error
	if f.examples, err = f.joiner.Add(m, f.examples[:0]); err != nil {
		f.in.cancel(err)
		return false
	}
	f.at = m.At
	f.o.Metrics.sequence.WithLabelValues(model).Set(float64(m.At.Seq()))
	f.o.Metrics.lagSeconds.WithLabelValues(model).Set(max(0, time.Since(m.Time).Seconds()))
	for i := range f.examples {
		if !f.add(ctx, &f.examples[i]) {
			return false
		}
	}
	clear(f.examples) // frees what the bids point to
	return true
}

// add encodes one example, archives it, and sends the frame when it is full.
func (f *feed) add(ctx context.Context, ex *join.Example) bool {
	req, cand := ex.Bid.Candidate()
	f.encoder.Encode(req, &cand, f.row)
	if f.rows.N() == 0 {
		f.firstAt = time.Now()
	}
	f.rows.Add(f.row, ex.Label, 1, ex.Time)
	f.rowsPos = ex.Pos
	f.newRows++
	f.o.Metrics.example(f.in.p.model, ex.Label)
	f.keep(ex)
	if f.rows.N() >= min(f.o.Recipe.Training.BatchRows, MaxRows(f.rows.F)) {
		return f.sendRows(ctx)
	}
	return true
}

// keep archives an example and counts the prediction that its bid was made by.
func (f *feed) keep(ex *join.Example) {
	prediction := &ex.Bid.Prediction
	p, version := prediction.Click, prediction.ClickVersion
	if f.o.Recipe.Label == recipe.Conversion {
		p, version = prediction.Conversion, prediction.ConversionVersion
	}
	fresh := true
	if f.archive != nil {
		var err error
		if fresh, err = f.archive.add(ex, f.row, p, version); err != nil {
			f.archiveFault(err)
		}
	}
	if fresh && version > 0 {
		f.o.Metrics.served(f.in.p.model, ex.Label, p)
	}
}

// due sends the frame, asks for the checkpoint or starts the export whose time has come.
func (f *feed) due(ctx context.Context) bool {
	now := time.Now()
	stats := f.joiner.Stats()
	f.o.Metrics.joined(f.in.p.model, f.joined, stats)
	f.joined = stats
	f.lag(ctx, now)
	if f.rows.N() > 0 && now.Sub(f.firstAt) >= f.o.FlushEvery && !f.sendRows(ctx) {
		return false
	}
	t := &f.o.Recipe.Training
	if now.Sub(f.checkpointAt) >= t.CheckpointEvery() {
		f.checkpointAt = now
		if !f.checkpoint(ctx) {
			return false
		}
	}
	if now.Sub(f.exportedAt) >= t.ExportEvery() && f.newRows >= max(t.ExportMinRows, 1) && !f.in.exporting.Load() {
		f.exportedAt = now
		return f.export(ctx)
	}
	return true
}

// lag exports how many messages the join is behind the stream's end. It asks for the end at most every 5 s.
func (f *feed) lag(ctx context.Context, now time.Time) {
	if now.Sub(f.endAt) >= 5*time.Second {
		f.endAt = now
		ask, cancel := context.WithTimeout(ctx, time.Second)
		if state, err := f.o.Stream.State(ask); err == nil {
			f.end = state.Last
		}
		cancel()
	}
	behind := 0.0
	if f.end.Compare(f.at) > 0 {
		behind = float64(f.end.Seq() - f.at.Seq())
	}
	f.o.Metrics.lagMessages.WithLabelValues(f.in.p.model).Set(behind)
}

// checkpoint asks the child for a checkpoint if the position has moved since the last one.
func (f *feed) checkpoint(ctx context.Context) bool {
	if !f.sendRows(ctx) {
		return false
	}
	if pos := f.joiner.Position(); pos != f.sentPos { // messages without an example moved it; the new position spares rereading them after a restart
		if !f.sendFrame(ctx, pos) {
			return false
		}
	}
	if f.sentPos == f.savedPos {
		return true
	}
	f.savedPos = f.sentPos
	f.flushArchive()
	f.in.await()
	return f.sendControl(ctx, CheckpointFrame, 0)
}

func (f *feed) export(ctx context.Context) bool {
	version, err := models.NextVersion(ctx, f.o.Store, f.in.p.model)
	if err != nil {
		f.in.log.Error("cannot number the next version", "error", err)
		return true
	}
	if !f.sendRows(ctx) {
		return false
	}
	f.newRows = 0
	f.in.exporting.Store(true)
	f.in.await()
	return f.sendControl(ctx, ExportFrame, version)
}

// sendRows sends the waiting rows, if there are any.
func (f *feed) sendRows(ctx context.Context) bool {
	return f.rows.N() == 0 || f.sendFrame(ctx, f.rowsPos)
}

// sendFrame sends the waiting rows, even if there are none, with the position after them.
func (f *feed) sendFrame(ctx context.Context, pos join.Position) bool {
	f.rows.Pos = rawPos(pos)
	encoded, err := AppendRows(nil, &f.rows)
	f.rows.Reset()
	if err != nil {
		f.in.cancel(err)
		return false
	}
	f.sentPos = pos
	return f.send(ctx, frame{RowsFrame, encoded})
}

func (f *feed) sendControl(ctx context.Context, kind FrameKind, version int64) bool {
	encoded, err := AppendControl(nil, kind, version)
	if err != nil {
		f.in.cancel(err)
		return false
	}
	return f.send(ctx, frame{kind, encoded})
}

func (f *feed) send(ctx context.Context, fr frame) bool {
	select {
	case f.in.frames <- fr:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *feed) flushArchive() {
	if f.archive != nil {
		if err := f.archive.flush(); err != nil {
			f.archiveFault(err)
		}
	}
}

func (f *feed) archiveFault(err error) {
	f.o.Metrics.archive.WithLabelValues(f.in.p.model).Inc()
	f.in.log.Error("cannot archive examples; learning goes on", "error", err)
}
