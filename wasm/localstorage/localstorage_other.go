//go:build !js

package localstorage

import session "github.com/session-interop/session-writer"

func open(property string) (session.Storage, error) {
	return nil, &storageError{session.ErrDisabled, "there is no " + property + " outside browsers"}
}
