package writertest

import "context"

// A Case is one case of the suite, for the test of the suite.
type Case[H any] struct {
	Rule, Says, Name string
	Needs            string
	Try              func(ctx context.Context, h H) error
}

var (
	WriterCases  = list(writerRules)
	StorageCases = list(storageRules)
)

func list[H harness](rules []rule[H]) (all []Case[H]) {
	for _, r := range rules {
		for _, c := range r.cases {
			all = append(all, Case[H]{r.name, r.says, c.name, string(c.needs), func(ctx context.Context, h H) error {
				return r.try(ctx, c, h)
			}})
		}
	}
	return all
}
