package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/console"
	"gavel/internal/features"
	"gavel/internal/models"
	"gavel/internal/recipe"
)

// retireTimeout bounds how long a version that has been swapped out may still be answering.
const retireTimeout = 10 * time.Second

// prepared is what a loaded version needs to serve; it is attached to its models.
type prepared struct {
	encoder *features.Encoder
	queue   *batcher.Queue
}

// versions makes the managers of models, each version with its own encoder and queue, so that a batch never mixes
// versions and a row is always encoded by the spec of the version that scores it.
type versions struct {
	queues *console.Queues
	log    *slog.Logger
}

// manage starts to follow a model of the group. Its batches are run by pool; the options are of each version's queue.
func (v *versions) manage(group *models.Group, model string, pool *batcher.Pool, options batcher.QueueOptions) (*models.Manager, error) {
	return group.Manage(models.Options{
		Model: model, Load: models.LoadOptions{MaxRows: options.MaxRows},
		Prepare: func(_ context.Context, s *models.Servable) error { return v.prepare(s, pool, options) },
		Retire:  v.retire,
	})
}

// encoderOf is the encoder by the version's own recipe; an error means that the version cannot serve.
func encoderOf(s *models.Servable) (*features.Encoder, error) {
	r, err := recipe.Decode(fmt.Sprintf("%s/%s", s, models.RecipeFile), s.Recipe())
	if err != nil {
		return nil, err
	}
	encoder := r.Encoder()
	if m := s.Manifest(); encoder.RowLen() != m.RowLen || encoder.TableRows() != m.TableRows {
		return nil, fmt.Errorf("bidder: the recipe of %s makes rows of %d indices below %d, its manifest says %d and %d; export it again",
			s, encoder.RowLen(), encoder.TableRows(), m.RowLen, m.TableRows)
	}
	return encoder, nil
}

func (v *versions) prepare(s *models.Servable, pool *batcher.Pool, options batcher.QueueOptions) error {
	encoder, err := encoderOf(s)
	if err != nil {
		return err
	}
	queue, err := pool.NewQueue(s.Engine(), v.optionsOf(s.Model(), s.Version(), options))
	if err != nil {
		return err
	}
	v.queues.Add(s.Model(), queue)
	s.Attach(&prepared{encoder: encoder, queue: queue})
	return nil
}

// optionsOf are those of one version's queue, which begins with what that of the version before has learnt.
func (v *versions) optionsOf(model string, version int64, o batcher.QueueOptions) batcher.QueueOptions {
	o.Name, o.Predecessor = fmt.Sprintf("%s/%d", model, version), v.queues.Busiest(model)
	return o
}

func (v *versions) retire(s *models.Servable) {
	queue := s.Attached().(*prepared).queue
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := queue.Close(ctx); err != nil {
		v.log.Error("a retired version's queue did not close", "version", s.String(), "error", err)
	}
	v.queues.Retire(queue)
}
