package client

import (
	"errors"
	"fmt"
	"testing"
)

func TestWhatDoesNotOpenIsAnErrorWithoutTheAddress(t *testing.T) {
	inner := errors.New("failed to open")
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("failed to dial wss://example.com/live?ticket=secret: %w", inner), "failed to open"},
		{errors.New("failed to dial wss://example.com/live?ticket=secret"), "the WebSocket does not open"},
	} {
		if got := withoutAddress(test.err); got == nil || got.Error() != test.want {
			t.Errorf("%v gives %v, want %s", test.err, got, test.want)
		}
	}
}
