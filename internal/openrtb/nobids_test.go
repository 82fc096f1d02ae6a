package openrtb

import (
	"context"
	"errors"
	"testing"

	"gavel/internal/auction"
)

var (
	_ Auctions = NoBids{}
	_ Linker   = NoBids{}
	_ Notices  = NoBids{}
)

func TestNoBids(t *testing.T) {
	result := NoBids{}.Run(context.Background(), new(auction.Request), nil)
	if len(result.Bids) != 0 || result.Reason == "" {
		t.Errorf("%+v", result)
	}
	if _, err := (NoBids{}).Notice(context.Background(), new(Notice)); !errors.Is(err, ErrUnknownNotice) {
		t.Error(err)
	}
}
