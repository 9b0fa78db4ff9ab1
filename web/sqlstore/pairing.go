package sqlstore

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/session-interop/session-writer"
)

// pairingTime is how long a pairing code can be used.
const pairingTime = 10 * time.Minute

// crockfordLetters has no letters that look like digits (Douglas Crockford, "Base 32").
// Eighty bits fill sixteen letters.
const crockfordLetters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var crockford = base32.NewEncoding(crockfordLetters).WithPadding(base32.NoPadding)

// Pair makes a code with which another device can join the owner's sessions, once. The
// database alone does not tell the owner or the code. The error wraps
// session.ErrQuota if the owner already has as many codes as Limits.Codes.
func (d *DB) Pair(ctx context.Context, owner string) (code string, expires time.Time, err error) {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails
	letters := crockford.EncodeToString(random[:])
	sealed, err := seal(letters, "pairing", owner)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("pair: %w", err)
	}
	done, err := d.turn(ctx, digest(owner), 0)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("pair: %w", err)
	}
	defer done()
	now := d.now()
	expires = now.Add(pairingTime).UTC().Truncate(time.Second)
	var added string
	err = d.counting(ctx, "codes "+digest(owner), func(ctx context.Context) error {
		return d.queryRow(ctx, addCode, []any{
			digest(letters), digest(owner), hex.EncodeToString([]byte(sealed)), timestamp(expires), timestamp(now), strconv.Itoa(d.limits.Codes),
		}, &added)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: there may be %d pairing codes at a time, and each lasts %v", session.ErrQuota, d.limits.Codes, pairingTime)
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("pair: %w", d.describe(err))
	}
	return letters[:4] + "-" + letters[4:8] + "-" + letters[8:12] + "-" + letters[12:], expires, nil
}

// Join returns the owner for whom a code was made. One call with a code succeeds. The
// errors of all others wrap ErrPairing. Case, hyphens and spaces don't matter, nor
// does O for 0, and I or L for 1.
func (d *DB) Join(ctx context.Context, code string) (owner string, err error) {
	return d.invited(ctx, code, takeCode)
}

// Invited is as Join, but leaves the code as it is.
func (d *DB) Invited(ctx context.Context, code string) (owner string, err error) {
	return d.invited(ctx, code, findCode)
}

func (d *DB) invited(ctx context.Context, code, statement string) (owner string, err error) {
	letters, ok := readCode(code)
	if !ok {
		return "", fmt.Errorf("join: %w", ErrPairing)
	}
	done, err := d.turn(ctx, newcomers, 0)
	if err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	defer done()
	var text string
	now := d.now()
	latest := now.Add(pairingTime + drift*time.Millisecond)
	err = d.queryRow(ctx, statement, []any{digest(letters), timestamp(now), timestamp(latest)}, &text)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrPairing
	}
	var sealed []byte
	if err == nil {
		sealed, err = hex.DecodeString(text)
	}
	if err == nil {
		owner, err = seal(letters, "pairing", string(sealed))
	}
	if err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	return owner, nil
}

var misread = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1")

// readCode returns the letters of a code that somebody may have typed.
func readCode(code string) (letters string, ok bool) {
	if len(code) > 64 {
		return "", false
	}
	letters = misread.Replace(strings.ToUpper(code))
	random, err := crockford.DecodeString(letters)
	return letters, err == nil && len(random) == 10
}

// seal encrypts an owner with a secret, and decrypts it again. Each secret is random, and
// for one use seals one owner, so its key is used once. The error says that the owner has more
// bytes than HKDF gives: 8,160 (RFC 5869, section 2.3).
func seal(secret, use, owner string) (string, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "session-writer "+use, len(owner))
	if err != nil {
		return "", err
	}
	out := make([]byte, len(owner))
	subtle.XORBytes(out, key, []byte(owner))
	return string(out), nil
}
