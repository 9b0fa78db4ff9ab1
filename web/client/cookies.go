package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A jar keeps the cookies of one server, in a file too if it has one.
type jar struct {
	http.CookieJar
	server *url.URL
	file   string // or empty

	mu  sync.Mutex
	has string // what is in the file
}

// newJar returns a jar with the cookies that the file has. It need not be there yet.
func newJar(server *url.URL, file string) (*jar, error) {
	cookies, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	j := &jar{CookieJar: cookies, server: server, file: file}
	if file == "" {
		return j, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	} else if err != nil {
		return nil, err
	}
	j.has = strings.TrimSuffix(string(text), "\n")
	kept, err := http.ParseCookie(j.has)
	if err != nil {
		return nil, fmt.Errorf("the file of cookies %s has something else", file)
	}
	for _, cookie := range kept {
		cookie.Path = "/"
	}
	j.CookieJar.SetCookies(server, kept)
	return j, nil
}

// keep writes the file if the jar has something else.
func (j *jar) keep() error {
	if j.file == "" {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var kept []string
	for _, cookie := range j.Cookies(j.server) {
		kept = append(kept, cookie.String())
	}
	text := strings.Join(kept, "; ")
	if text == j.has {
		return nil
	}
	if err := write(j.file, text+"\n"); err != nil {
		return err
	}
	j.has = text
	return nil
}

// write writes a file for its user alone, wholly or not at all.
func write(file, text string) (err error) {
	made, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)) // of the mode 0600
	if err != nil {
		return err
	}
	_, err = made.WriteString(text)
	if err = errors.Join(err, made.Sync(), made.Close()); err == nil {
		err = os.Rename(made.Name(), file)
	}
	if err != nil {
		_ = os.Remove(made.Name())
	}
	return err
}
