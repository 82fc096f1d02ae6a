package main

import (
	"context"
	"fmt"

	"gavel/internal/engine"
	"gavel/internal/engine/onnx"
	"gavel/internal/rank/estimators"
	"gavel/internal/rank/estimators/engines"
)

// onnxEndings are those of ONNX files.
var onnxEndings = []string{".onnx"}

// startONNX follows a model's directory of ONNX files, which onnxruntime runs in this process.
func (r *ranker) startONNX(m *model) error {
	runner, err := engines.New(engines.Options{
		Endings: onnxEndings, Memory: m.config.Memory, Log: r.log, Registerer: m.metrics,
		Open: func(ctx context.Context, data []byte) (engine.Engine, error) {
			return onnx.Open(ctx, data, onnx.Options{})
		},
	})
	if err != nil {
		return err
	}
	r.parts.OnStop("engines of "+m.name, closeTimeout, func(context.Context) error { runner.Close(); return nil })
	d, err := estimators.Open(runner, estimators.Options{Dir: m.config.Directory, Log: r.log, Registerer: m.metrics})
	if err != nil {
		return fmt.Errorf("%w: %w (directory)", errConfig, err)
	}
	m.scorer, m.read = d, d.Ready
	m.shown = showEstimators(d)
	r.parts.Loop("files of "+m.name, closeTimeout, d.Run)
	return nil
}
