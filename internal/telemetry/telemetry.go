// Package telemetry is what can be seen of a running process from outside:
// its log, its metrics, its traces, and the admin server that shows whether it
// lives and is ready. The domain does not know it: it is told through the
// observers that batch and api declare, and through small functions. What it
// shows comes from closed sets of names; no endpoint, no caller and no secret
// is among them.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
)

// NewLogger makes a logger that writes to w: level is debug, info, warn or
// error, format json or text.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is not one of debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: least}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("log format %q is not one of json, text", format)
	}
}

// Build says which program this is.
type Build struct {
	// Process is api, worker or up.
	Process string
	// Version is the module's, Revision the commit's; "unknown" when the
	// program was built without them.
	Version, Revision string
}

// ThisBuild is the running program's Build.
func ThisBuild(process string) Build {
	b := Build{Process: process, Version: "unknown", Revision: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
