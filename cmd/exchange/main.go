// Command exchange is the counterpart of the bidder: it sends OpenRTB bid requests over HTTP, runs the auctions, sends
// notices and clicks like a real exchange and its users would, keeps its own books and reports them.
package main

func main() {}
