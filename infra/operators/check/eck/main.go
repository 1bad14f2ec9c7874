// Reads manifests with ECK's own types, and says which fields these types do not have.
package main

import (
	"fmt"
	"os"

	elasticsearch "github.com/elastic/cloud-on-k8s/v3/pkg/apis/elasticsearch/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		if err == nil {
			err = yaml.UnmarshalStrict(text, &elasticsearch.Elasticsearch{})
		}
		if err != nil {
			fmt.Printf("%s: %v\n", file, err)
			os.Exit(1)
		}
	}
}
