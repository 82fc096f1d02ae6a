package httpd

import (
	"errors"
	"net"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

const acceptMost = 64 // connections accepted before other events are handled

// accept accepts at most acceptMost connections. The listener is level-triggered, so epoll reports the others again.
func (l *loop) accept() {
	for range acceptMost {
		fd, peer, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			l.admit(fd, peer)
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			l.acceptPaused = true
			_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.listener, nil)
			return
		case errors.Is(err, unix.EAGAIN):
			return
		} // any other error: that one connection broke before it was accepted
	}
}

// admit makes a conn of an accepted socket. If there are too many, it answers 503 and closes the socket.
func (l *loop) admit(fd int, peer unix.Sockaddr) {
	if l.server.counts.open.Load() >= int64(l.server.options.MaxConnections) {
		l.server.counts.refused.Add(1)
		l.server.counts.failed(fasthttp.StatusServiceUnavailable)
		_, _ = write(fd, tooMany)
		_ = unix.Close(fd)
		return
	}
	// NODELAY sends small answers at once; KEEPALIVE finds peers that vanished. A failure does no harm.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	if len(l.free) == 0 {
		l.free = append(l.free, uint32(len(l.slots)))
		l.slots, l.ages = append(l.slots, nil), append(l.ages, 0)
	}
	slot := l.free[len(l.free)-1]
	c := &conn{fd: fd, slot: slot, since: l.clock.Load(), remote: address(peer), local: l.server.local}
	const events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	if err := l.watch(fd, events, slot, l.ages[slot]); err != nil {
		_ = unix.Close(fd)
		return
	}
	l.free = l.free[:len(l.free)-1]
	l.slots[slot] = c
	l.server.counts.open.Add(1)
}

var tooMany = []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

func address(peer unix.Sockaddr) net.Addr {
	switch a := peer.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	}
	return &net.TCPAddr{}
}
