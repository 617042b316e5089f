/* import_fault.h - whether a file of an archive is a message that the intake would have taken
 *
 * An archive is hostile. */
#ifndef QUEUE_IMPORT_FAULT_H
#define QUEUE_IMPORT_FAULT_H

/* why it is not, a text; NULL: it is, and has that id */
const char *import_fault(int fd, const char *id);

#endif
