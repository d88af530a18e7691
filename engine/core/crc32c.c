/* crc32c.c -- bit by bit through a table of 16 half-bytes: short inputs only, no set-up. */
#include "engine/core/crc32c.h"

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length)
{
    /* half[i] = the remainder of i times x^32 by the reflected polynomial 0x82F63B78 */
    static const uint32_t half[16] = {0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1,
                                      0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
                                      0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
                                      0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};
    const unsigned char *p = bytes;
    crc = ~crc;
    while (length--) {
        crc ^= *p++;
        crc = crc >> 4 ^ half[crc & 15];
        crc = crc >> 4 ^ half[crc & 15];
    }
    return ~crc;
}
