package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == memberCommand {
		if err := member(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "versus:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.clients, "clients", 64, "how many clients at once")
	flag.IntVar(&o.turns, "turns", 7, "how many turns each side has at each measurement")
	flag.DurationVar(&o.turn, "turn", time.Second, "how long a turn is")
	out := flag.String("out", "", "file to write the table to, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	text, err := compare(ctx, o)
	if err == nil {
		fmt.Print(text)
		if *out != "" {
			err = os.WriteFile(*out, []byte(text), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}
