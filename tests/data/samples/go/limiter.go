// Package limiter holds token buckets, one for each client.
package limiter

import (
	"errors"
	"sync"
	"time"
)

// ErrTooMany is returned where a client has spent its tokens.
var ErrTooMany = errors.New("too many requests")

// Bucket fills with a steady rate and is emptied by requests.
type Bucket struct {
	tokens   float64
	capacity float64
	rate     float64
	last     time.Time
}

// Limiter keeps a bucket for every client that it has seen.
type Limiter struct {
	mu      sync.Mutex
	buckets map[string]*Bucket
	rate    float64
	burst   float64
	now     func() time.Time
}

// New returns a limiter that allows rate requests a second and bursts of burst.
func New(rate, burst float64) *Limiter {
	return &Limiter{
		buckets: make(map[string]*Bucket),
		rate:    rate,
		burst:   burst,
		now:     time.Now,
	}
}

func (b *Bucket) refill(now time.Time) {
	elapsed := now.Sub(b.last).Seconds()
	b.tokens += elapsed * b.rate
	if b.tokens > b.capacity {
		b.tokens = b.capacity
	}
	b.last = now
}

func (b *Bucket) take(n float64) bool {
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// Allow takes one token of the client's bucket.
func (l *Limiter) Allow(client string) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := l.now()
	bucket, ok := l.buckets[client]
	if !ok {
		bucket = &Bucket{tokens: l.burst, capacity: l.burst, rate: l.rate, last: now}
		l.buckets[client] = bucket
	}
	bucket.refill(now)
	if !bucket.take(1) {
		return ErrTooMany
	}
	return nil
}

// Forget drops the buckets that were not used for the given time.
func (l *Limiter) Forget(idle time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()

	dropped := 0
	for client, bucket := range l.buckets {
		if l.now().Sub(bucket.last) > idle {
			delete(l.buckets, client)
			dropped++
		}
	}
	return dropped
}
