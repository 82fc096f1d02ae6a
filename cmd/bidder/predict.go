package main

import (
	"context"
	"fmt"

	"gavel/internal/predict"
	"gavel/internal/process"
)

// startPredict serves predictions of the models, if predict.listen is set.
func (b *bidder) startPredict(context.Context) error {
	c, limits := b.config.Predict, b.config.Limits
	if c.Listen == "" {
		return nil
	}
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
			b.parts.Fail(fmt.Errorf("bidder: the prediction server ended: %w", err))
		}
	}()
	b.parts.OnStop("predict", drainTimeout, server.Shutdown)
	b.log.Info("serving predictions", "listen", c.Listen)
	return nil
}
