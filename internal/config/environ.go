package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// variable is the environment's name of a setting.
func (s *setting) variable() string {
	return "SHOAL_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// ours are the variables that are no settings: what Load itself reads, and what the command line and the programs that the node starts do.
var ours = []string{"SHOAL_HOME", "SHOAL_CONFIG", "SHOAL_HOST", "SHOAL_TOKEN"}

// foreign reports whether others set a variable: Kubernetes and Docker tell where a service is that is called shoal by SHOAL_PORT and the like,
// and SHOAL_TORRENT_… are for the programs that the node starts.
func foreign(name string) bool {
	return name == "SHOAL_PORT" || slices.ContainsFunc([]string{"SHOAL_PORT_", "SHOAL_SERVICE_", "SHOAL_TORRENT_"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// fromEnvironment returns what SHOAL_… variables say.
func fromEnvironment(env map[string]string) (list []assignment, problems []error) {
	known := map[string]*setting{}
	for i := range table {
		known[table[i].variable()] = &table[i]
	}
	candidates := slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, "SHOAL_") || slices.Contains(ours, name) || foreign(name) {
			continue
		}
		a := assignment{setting: known[name], raw: env[name], origin: origin{SourceEnv, name}}
		if a.setting == nil {
			if s := known[strings.TrimSuffix(name, "_FILE")]; s != nil && s.secret {
				a.setting, a.fromFile = s, true
				if _, both := env[s.variable()]; both {
					problems = append(problems, fmt.Errorf("%s: %s is set too: keep one of them", name, s.variable()))
				}
			}
		}
		if a.setting == nil {
			problems = append(problems, fmt.Errorf("%s: unknown variable%s", name, didYouMean(name, candidates)))
			continue
		}
		list = append(list, a)
	}
	return list, problems
}
