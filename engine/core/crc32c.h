/* crc32c.h -- the Castagnoli checksum: finds damage by accident, not by intent. */
#ifndef ENGINE_CORE_CRC32C_H
#define ENGINE_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of 'length' bytes behind those that gave 'crc' (0 = none). crc32c(0, "123456789", 9) is
 * 0xE3069283. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
