package app

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// query is one that Prometheus is asked, and where it stands.
type query struct{ where, expr string }

// checkQueries wants each to name only metrics that there are, and at least one.
func checkQueries(t *testing.T, queries []query) {
	t.Helper()
	families := whole(t).metrics.Families()
	for _, q := range queries {
		names := metricName.FindAllString(q.expr, -1)
		if len(names) == 0 && !strings.HasPrefix(q.expr, "up{") {
			t.Errorf("%s: %s names no metric", q.where, q.expr)
		}
		for _, name := range names {
			if !known(families, name) {
				t.Errorf("%s: there is no %s", q.where, name)
			}
		}
		if strings.Count(q.expr, "(") != strings.Count(q.expr, ")") {
			t.Errorf("%s: a parenthesis is missing in %s", q.where, q.expr)
		}
	}
}

func TestTheDashboardShowsMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title      string
		UID        string
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID         int
			Type       string
			Title      string
			Datasource struct{ UID string }
			Targets    []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var queries []query
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("the panel %d %q has no number of its own, or no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s asks %q %d times", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			queries = append(queries, query{p.Title, target.Expr})
			if !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%s: %s is not of the chosen servers", p.Title, target.Expr)
			}
		}
	}
	if len(queries) < 20 || dashboard.Title != "Teahouse" {
		t.Errorf("the dashboard %q has %d queries", dashboard.Title, len(queries))
	}
	checkQueries(t, queries)
}

func TestTheAlertsAreAboutMetricsThatThereAre(t *testing.T) {
	const file = "../../deploy/alerts.yml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var queries []query
	alert := regexp.MustCompile(`(?m)^      - alert: (\w+)\n        expr: (.+)\n(?:        for: \w+\n)?        labels: \{severity: (?:critical|warning)\}\n        annotations:\n          summary: .+\n          description: .+\n`)
	for _, m := range alert.FindAllStringSubmatch(string(text), -1) {
		queries = append(queries, query{m[1], m[2]})
	}
	if n := strings.Count(string(text), "alert:"); n != len(queries) || n < 8 {
		t.Errorf("%d of %d alerts have the form of the others", len(queries), n)
	}
	checkQueries(t, queries)
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		return // which is large; it has read these files when they were written
	}
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Error(fmt.Errorf("promtool: %w: %s", err, out))
	}
}
