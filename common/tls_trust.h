/* tls_trust.h - the certificates this system trusts, where they cost forks nothing
 *
 * Loaded into OpenSSL's own store they are megabytes of private memory, which each process that is
 * forked from the one that has them pays for. Here they lie in shared memory as they are written
 * (DER), and one is read when a chain leads to it. */
#ifndef COMMON_TLS_TRUST_H
#define COMMON_TLS_TRUST_H

#include <openssl/ssl.h>

/* reads the system's file of trusted certificates, once. 0, or -1 with errno; that there is no such
 * file, or that some of it is malformed, is no error: less is trusted then. */
int tls_trust_load(void);
/* has c trust them. 0, or -1: out of memory */
int tls_trust_add(SSL_CTX *c);

#endif
