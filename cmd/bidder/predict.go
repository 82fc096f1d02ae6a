package main

import (
	"context"
	"fmt"
	"time"

	"gavel/internal/predict"
	"gavel/internal/process"
)

// startPredict serves the models' predictions beside auctions, if it is told where.
func (b *bidder) startPredict(context.Context) error {
	c := b.config.Predict
	if c.Listen == "" {
		return nil
	}
	limits := b.config.Limits
	server, err := predict.NewServer(predict.Served(b.models), predict.Options{
		Timeout: c.Timeout, MaxBody: c.BodyBytes, MaxRows: c.Rows, MaxConnections: c.Connections,
		ReadTimeout: limits.ReadTimeout, WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	listener, err := process.Listen("predict.listen", c.Listen)
	if err != nil {
		return err
	}
	go func() { // ends with Shutdown
		if err := server.Serve(listener); err != nil {
			b.fail(fmt.Errorf("bidder: the predictions' port ended: %w", err))
		}
	}()
	b.onStop("predict", drainTimeout, server.Shutdown)
	b.log.Info("serving predictions", "listen", c.Listen)
	return nil
}

// predictFaults are the faults of predict's settings.
func (c *Config) predictFaults(fault func(format string, args ...any)) {
	p := c.Predict
	if _, _, err := process.SplitPort(p.Listen); p.Listen != "" && err != nil {
		fault("predict.listen: %q is not host:port; write 127.0.0.1:8094, say, or nothing", p.Listen)
	}
	if p.Timeout < time.Millisecond || p.Timeout > predict.MaxTimeout {
		fault("predict.timeout: %v must be 1ms to %v", p.Timeout, predict.MaxTimeout)
	}
	for _, model := range c.served() {
		if room := c.batching(model).queue.QueueRows; p.Listen != "" && p.Rows > room {
			fault("predict.rows: %d is more than the queue of %s holds (%d); raise batcher.queue_rows, or its own", p.Rows, model, room)
		}
	}
	for key, value := range map[string]int{
		"predict.body_bytes": p.BodyBytes, "predict.rows": p.Rows, "predict.connections": p.Connections,
	} {
		if value <= 0 {
			fault("%s: must be above 0", key)
		}
	}
}
