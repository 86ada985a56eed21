-- use: /audit/_sums.sql

-- name: transfers :value
select count(*) from transfers;
