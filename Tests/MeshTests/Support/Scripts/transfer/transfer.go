// Moves a file over HTTP/1.1 and compares it, or relays connections, as Go programs do.
//
//	transfer serve ADDRESS:PORT FILE      GET /file is the file (sendfile), PUT is answered with the body's SHA-256,
//	                                      anything else with "small"
//	transfer relay ADDRESS:PORT TARGET    io.Copy between connections (splice)
//	transfer fetch ADDRESS:PORT FILE N    gets and puts the file, after N small requests
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
)

func digest(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	return listener
}

func serve(address, file string) {
	handler := func(writer http.ResponseWriter, request *http.Request) {
		switch {
		case request.Method == "PUT":
			hash := sha256.New()
			if _, err := io.Copy(hash, request.Body); err != nil {
				log.Print(err)
			}
			fmt.Fprintf(writer, "%x", hash.Sum(nil))
		case request.URL.Path == "/file":
			http.ServeFile(writer, request, file)
		default:
			io.WriteString(writer, "small")
		}
	}
	log.Fatal(http.Serve(listen(address), http.HandlerFunc(handler)))
}

func relay(address, target string) {
	listener := listen(address)
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			server, err := net.Dial("tcp", target)
			if err != nil {
				log.Print(err)
				client.Close()
				return
			}
			forward := func(to, from net.Conn) {
				io.Copy(to, from)
				to.(*net.TCPConn).CloseWrite()
			}
			go forward(server, client)
			forward(client, server)
		}()
	}
}

func ask(method, url string, body []byte) []byte {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	return content
}

func fetch(address, file, count string) {
	content, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	number, err := strconv.Atoi(count)
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < number; i++ {
		if string(ask("GET", "http://"+address+"/small", nil)) != "small" {
			log.Fatal("not the small answer")
		}
	}
	if !bytes.Equal(ask("GET", "http://"+address+"/file", nil), content) {
		log.Fatal("what came is not the file")
	}
	if string(ask("PUT", "http://"+address+"/file", content)) != digest(content) {
		log.Fatal("what arrived is not the file")
	}
	fmt.Println("same")
}

func main() {
	switch arguments := os.Args[1:]; {
	case len(arguments) == 3 && arguments[0] == "serve":
		serve(arguments[1], arguments[2])
	case len(arguments) == 3 && arguments[0] == "relay":
		relay(arguments[1], arguments[2])
	case len(arguments) == 4 && arguments[0] == "fetch":
		fetch(arguments[1], arguments[2], arguments[3])
	default:
		log.Fatal("usage: see transfer.go")
	}
}
