package main

import (
	"errors"
	"fmt"
	"io"

	"gavel/internal/campaigns"
)

// check reads the configuration and the campaign file it names, and reports every fault of both.
func check(path string, stdout io.Writer) error {
	config, err := LoadConfig(path)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	set, err := campaigns.Load(config.Campaigns, setOptions(config))
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if _, err := fmt.Fprintf(stdout, "%s: sound\n%s: sound, %d campaigns\n", path, config.Campaigns, set.Len()); err != nil {
		return errors.Join(errConfig, err)
	}
	return nil
}
