package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
)

var putCommand = command{
	name: "put", args: "KEY VALUE...",
	short: "store VALUE at KEY",
	long: `Several words are one value, with a blank between them; quotes keep more.
`,
	flagsFirst: true,
	prepare: func(flags *pflag.FlagSet) action {
		ttl := flags.Duration("ttl", 0, "let the entry expire after this time: 90s, 1h30m")
		ifAbsent := flags.Bool("if-absent", false, "only if there is no entry at the key")
		ifPresent := flags.Bool("if-present", false, "only if there is an entry at the key")
		ifVersion := flags.String("if-version", "", "only over this `version`, as get --version prints it")
		return func(ctx context.Context, c *call, args []string) error {
			var opts []torc.PutOption
			if flags.Changed("ttl") {
				opts = append(opts, torc.TTL(*ttl))
			}
			if *ifAbsent {
				opts = append(opts, torc.IfAbsent())
			}
			if *ifPresent {
				opts = append(opts, torc.IfPresent())
			}
			if *ifVersion != "" {
				v, err := torc.ParseVersion(*ifVersion)
				if err != nil {
					return err
				}
				opts = append(opts, torc.IfVersion(v))
			}
			value := strings.Join(args[1:], " ")
			return c.at(ctx, args[0], func(ctx context.Context, key string) error {
				if err := c.Table.Put(ctx, key, []byte(value), opts...); err != nil {
					return err
				}
				c.result = struct {
					jsonform.Key
					Bytes int `json:"bytes"`
				}{jsonform.KeyOf(key), len(value)}
				c.note("stored" + c.whereabouts(ctx, key))
				return nil
			})
		}
	},
}

// whereabouts names the owners of key, as far as they are known.
func (c *call) whereabouts(ctx context.Context, key string) string {
	p, err := c.Table.Locate(ctx, key)
	if err != nil || len(p.Owners) == 0 {
		return ""
	}
	var addrs []string
	for _, m := range p.Owners {
		addrs = append(addrs, m.Addr)
	}
	return " at " + strings.Join(addrs, ", ")
}

var getCommand = command{
	name: "get", args: "KEY",
	short: "print the value at KEY",
	long: `On a terminal a value that holds control characters, or is no text, comes in
quotes; else it comes as it is.
`,
	flagsFirst: true,
	prepare: func(flags *pflag.FlagSet) action {
		version := flags.Bool("version", false, "print the entry's version in place of its value")
		return func(ctx context.Context, c *call, args []string) error {
			return c.at(ctx, args[0], func(ctx context.Context, key string) error {
				e, err := c.Table.Get(ctx, key)
				if err != nil {
					return err
				}
				c.result = struct {
					jsonform.Key
					jsonform.Value
					Version string `json:"version"`
				}{jsonform.KeyOf(key), jsonform.ValueOf(e.Value), e.Version.String()}
				switch value := string(e.Value); {
				case *version:
					c.print(e.Version.String() + "\n")
				case terminal.Is(c.Stdout) && !shows(value):
					c.print(strconv.Quote(value) + "\n")
				default:
					c.print(value + "\n")
				}
				return nil
			})
		}
	},
}

// shows says whether a terminal shows text as it is, and does nothing else for it.
func shows(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	})
}

var deleteCommand = command{
	name: "delete", args: "KEY",
	short:      "remove the entry at KEY",
	flagsFirst: true,
	prepare: func(*pflag.FlagSet) action {
		return func(ctx context.Context, c *call, args []string) error {
			return c.at(ctx, args[0], func(ctx context.Context, key string) error {
				if err := c.Table.Delete(ctx, key); err != nil {
					return err
				}
				c.note("deleted")
				return nil
			})
		}
	},
}

var locateCommand = command{
	name: "locate", args: "KEY",
	short: "say which nodes hold KEY, or would",
	long: `They come in the order in which they are asked. Whether the key is there it does
not say.
`,
	flagsFirst: true,
	prepare: func(*pflag.FlagSet) action {
		return func(ctx context.Context, c *call, args []string) error {
			return c.at(ctx, args[0], func(ctx context.Context, key string) error {
				p, err := c.Table.Locate(ctx, key)
				if err != nil {
					return err
				}
				c.result = struct {
					jsonform.Key
					torc.Placement
				}{jsonform.KeyOf(key), p}
				c.print(textform.Placement(p, c.style()))
				return nil
			})
		}
	},
}

var keysCommand = command{
	name: "keys", args: "[PREFIX]",
	short: "list the keys, or those that begin with PREFIX",
	long: `One key a line, in no order, and in quotes where it could not be typed without. A
key with several copies may come several times, except with --limit.
`,
	prepare: func(flags *pflag.FlagSet) action {
		limit := flags.Int("limit", 0, "at most so `many` keys, none twice")
		return func(ctx context.Context, c *call, args []string) error {
			if *limit < 0 || flags.Changed("limit") && *limit == 0 {
				return usageErrorf("--limit %d: give a number above 0", *limit)
			}
			t, ok := c.Table.(torc.Ranger)
			if !ok {
				return unsupported("its keys can't be listed")
			}
			if err := c.needUp(ctx); err != nil {
				return err
			}
			prefix := strings.Join(args, "")
			seen := make(map[string]bool) // with a limit, which bounds it
			list := keyList{call: c}
			defer list.end()
			for key, err := range t.Keys(ctx) {
				switch {
				case err != nil:
					return err
				case !strings.HasPrefix(key, prefix) || seen[key]:
					continue
				case *limit > 0:
					seen[key] = true
				}
				if err := list.add(key); err != nil {
					return err
				}
				if *limit > 0 && len(seen) == *limit {
					return nil
				}
			}
			return ctx.Err()
		}
	},
}

// unsupported is the error of what this table can't do.
func unsupported(what string) error { return fmt.Errorf("%w: %s", torc.ErrUnsupported, what) }

// at does something at key: it needs members, and takes a moment.
func (c *call) at(ctx context.Context, key string, do func(ctx context.Context, key string) error) error {
	c.result = jsonform.KeyOf(key)
	if _, err := c.needMembers(ctx); err != nil {
		return err
	}
	ctx, cancel := c.moment(ctx)
	defer cancel()
	return do(ctx, key)
}

// needMembers returns the present view, or fails where there is no node for any
// key, and says what to do.
func (c *call) needMembers(ctx context.Context) (torc.View, error) {
	v, err := c.view(ctx)
	if err != nil {
		return v, err
	}
	for _, m := range v.Members {
		if m.State != torc.Drained {
			return v, nil
		}
	}
	if _, ok := c.Table.(torc.Roster); ok {
		return v, errors.New("there are no nodes: add a node first, with add HOST:PORT")
	}
	return v, fmt.Errorf("%w: there are no nodes", torc.ErrUnavailable)
}

// needUp fails where no node is up, for what would do nothing then and call that
// done.
func (c *call) needUp(ctx context.Context) error {
	v, err := c.needMembers(ctx)
	if err != nil {
		return err
	}
	if why := textform.NobodyUp(v); why != "" {
		return fmt.Errorf("%w: %s", torc.ErrUnavailable, why)
	}
	return nil
}

// flushEvery is how long what was printed may wait while a command goes on.
const flushEvery = 100 * time.Millisecond
