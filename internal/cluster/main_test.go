package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary plays other programs when this is set.
const roleEnv = "CLUSTER_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if left := Children(); code == 0 && len(left) > 0 {
			fmt.Println("cluster: the tests left processes behind:", strings.Join(left, ", "))
			code = 1
		}
		os.Exit(code)
	}))
}

// play is what the programs do that the tests start.
func play(role string, args []string) int {
	switch role {
	case "parent": // starts processes, says who they are, and never ends
		c, err := New(Options{Namespaces: args[0] == "namespaces"})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		mc, err := c.Host("s1").Memcached(context.Background())
		if err != nil {
			fmt.Println(err)
			return 1
		}
		sleeper, err := c.Host("s1").Start(context.Background(), Spec{Path: "sleep", Args: []string{"600"}})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("children", mc.Pid(), sleeper.Pid(), c.Dir())
		select {}
	case "environment":
		for _, e := range os.Environ() {
			if strings.HasPrefix(e, "TORC_") {
				fmt.Println(e)
			}
		}
		wd, _ := os.Getwd()
		fmt.Println("in", wd)
		return 7
	}
	return 99
}

// self is a Spec that runs this test binary in a role.
func self(t testing.TB, role string, args ...string) Spec {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Name: role, Path: exe, Args: args, Env: []string{roleEnv + "=" + role}}
}

func shell(script string) Spec {
	return Spec{Name: "sh", Path: "sh", Args: []string{"-c", script}}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), DefaultWait)
	t.Cleanup(cancel)
	return ctx
}

// must is for steps that are not what is tested.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// alive says whether there is a process of this number that is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	state := string(stat[strings.LastIndexByte(string(stat), ')')+2:])
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func eventuallyDead(t testing.TB, pids ...int) {
	t.Helper()
	Eventually(t, 10*time.Second, "processes to be gone", func() error {
		for _, pid := range pids {
			if alive(pid) {
				return fmt.Errorf("process %d lives", pid)
			}
		}
		return nil
	})
}
