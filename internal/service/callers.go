package service

import (
	"os"
	"sync"

	"dialtone/internal/auth"
)

// CallersKeys tells which keys the list of callers at path is sealed with, as
// the file is now: it will be read again some day. A file that cannot be read
// needs what it needed before. nil where there is no list.
func CallersKeys(path string) func() []uint32 {
	if path == "" {
		return nil
	}
	var mu sync.Mutex
	var read os.FileInfo
	var known []uint32
	return func() []uint32 {
		mu.Lock()
		defer mu.Unlock()
		info, err := os.Stat(path)
		same := err == nil && read != nil && os.SameFile(info, read) && info.ModTime().Equal(read.ModTime()) && info.Size() == read.Size()
		if err != nil || same {
			return known
		}
		if ids, err := auth.SealedWith(path); err == nil {
			read, known = info, ids
		}
		return known
	}
}
