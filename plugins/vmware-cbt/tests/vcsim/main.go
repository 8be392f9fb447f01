// A vCenter by people who are not us: govmomi's simulator, as Debian packages it.
//
// It has no change tracking, its snapshots freeze nothing and its disks are empty, so it judges the SOAP layer only: envelopes, login,
// the property collector, tasks, reconfiguration, power.
//
//	apt-get install golang-go golang-github-vmware-govmomi-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o vcsim plugins/vmware-cbt/tests/vcsim/main.go
//	./vcsim   # prints its URL and serves until its input ends
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	model := simulator.VPX()
	model.Folder = 1
	model.Machine = 12
	defer model.Remove()
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	// The simulator accepts any password unless it is told one.
	model.Service.Listen = &url.URL{User: url.UserPassword("svc@vsphere.local", "it's <a> & \"b\"")}
	if len(os.Args) > 1 && os.Args[1] == "tls" {
		model.Service.TLS = new(tls.Config)
	}
	server := model.Service.NewServer()
	defer server.Close()
	fmt.Printf("%s://%s\n", server.URL.Scheme, server.URL.Host)
	io.Copy(io.Discard, os.Stdin)
}
