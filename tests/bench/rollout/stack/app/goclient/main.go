// A resident Go client: POST /?method=GET|POST&url=… on its own loopback port makes the call with http.DefaultClient's
// transport (dial tries every address, idle connections are pooled) and answers what came back, or 502 with the error.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

var client = &http.Client{Timeout: 25 * time.Second}

func call(out http.ResponseWriter, in *http.Request) {
	query := in.URL.Query()
	body, _ := io.ReadAll(in.Body)
	var reader io.Reader
	if query.Get("method") == "POST" {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequest(query.Get("method"), query.Get("url"), reader)
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(request); err == nil {
			defer answer.Body.Close()
			var data []byte
			if data, err = io.ReadAll(answer.Body); err == nil {
				out.Header().Set("X-Version", answer.Header.Get("X-Version"))
				out.WriteHeader(answer.StatusCode)
				out.Write(data)
				return
			}
		}
	}
	http.Error(out, err.Error(), http.StatusBadGateway)
}

func main() {
	http.HandleFunc("/", call)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
