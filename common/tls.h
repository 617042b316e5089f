/* tls.h - TLS on a connected socket, with OpenSSL
 *
 * Programs that are clients or servers include this and no header of OpenSSL's; the server's context is
 * in smtpd/tls_server.h. Nothing here waits: a call that cannot go on
 * says TLS_WAITS, and tls_wants() for what. TLS 1.2 and later, no renegotiation, no compression,
 * no resumption by clients. */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include <stddef.h>
#include <stdint.h>

#define TLS_TEXT 128

enum tls_state {
  TLS_DONE,
  TLS_WAITS,
  TLS_ENDED, /* the peer ended it, with or without TLS's own word of farewell */
  TLS_RESET, /* by RST */
  TLS_FAILED /* what came was no TLS we take: tls_why() */
};

struct tls;
struct ssl_st;

/* takes over one end of a session, OpenSSL's, on fd, which must be non-blocking and stays the
 * caller's. NULL: out of memory, and ssl is freed */
struct tls *tls_wrap(struct ssl_st *ssl, int fd);
struct ssl_st *tls_ssl(const struct tls *t);

/* makes the client's side ready, once, before forks and before rights are given up: it
 * reads OpenSSL's configuration and the certificates this system trusts, and gathers entropy.
 * 0, or -1 with *why */
int tls_client_prepare(const char **why);
int tls_client_is_ready(void);

/* a client on fd, which must be non-blocking and stays the caller's. name: the host's, for
 * SNI and to compare with its certificate, or an address. NULL: out of memory */
struct tls *tls_client_start(int fd, const char *name);
/* says farewell, when asked to and the handshake was done; frees. t may be NULL */
void tls_end(struct tls *t, int says_bye);

enum tls_state tls_handshake(struct tls *t);
/* up to len bytes, *n of them */
enum tls_state tls_read(struct tls *t, char *buf, size_t len, size_t *n);
/* after TLS_WAITS the next write must begin with the same bytes */
enum tls_state tls_write(struct tls *t, const char *s, size_t len, size_t *n);
/* bytes taken from the socket so far */
uint64_t tls_taken(const struct tls *t);
/* the poll() event the last call waits for */
short tls_wants(const struct tls *t);

/* why it failed, or "" */
const char *tls_why(const struct tls *t);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
void tls_describe(const struct tls *t, char out[TLS_TEXT]);
/* whether the peer's certificate is valid, trusted here and its own; else out says what is wrong */
int tls_is_verified(const struct tls *t, char out[TLS_TEXT]);

/* for PEM_read_bio_*(): nobody is there to be asked for a passphrase */
int tls_no_passphrase(char *buf, int size, int is_writing, void *arg);

#endif
